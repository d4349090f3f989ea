"""Networks as docker means them: their names and rules, containers' places in them, published ports, names inside."""
