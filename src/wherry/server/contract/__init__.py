"""The Engine API written down: what each route takes and answers, as OpenAPI. Nothing here is loaded to serve it."""
