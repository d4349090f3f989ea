"""Media types of OCI, Docker and the Wasm ways of packing, and what class of thing each of them is. Names only.

Sources: image-spec media-types.md; distribution image manifest v2.2; CNCF TAG-Runtime's Wasm OCI artifact layout.
"""

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"

DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"

FIRST_SCHEMA = frozenset(
    {
        "application/vnd.docker.distribution.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
    }
)
"""Docker's manifests before 2016; they are known only to be refused by name."""

WASM_CONFIG_V0 = "application/vnd.wasm.config.v0+json"
"""CNCF Wasm artifact: one layer, `WASM_LAYER`."""
WASM_LAYER = "application/wasm"
WASM_CONFIG_V1 = "application/vnd.wasm.config.v1+json"
"""wasm-to-oci and wasmCloud."""
WASM_CONTENT_LAYER = "application/vnd.wasm.content.layer.v1+wasm"
WASM_MODULE_LAYER = "application/vnd.module.wasm.content.layer.v1+wasm"
WASM_RUNWASI_LAYER = "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm"
SPIN_CONFIG = "application/vnd.fermyon.spin.application.v1+config"

MANIFESTS = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
INDEXES = frozenset({OCI_INDEX, DOCKER_INDEX})
IMAGE_CONFIGS = frozenset({OCI_CONFIG, DOCKER_CONFIG})
WASM_CONFIGS = frozenset({WASM_CONFIG_V0, WASM_CONFIG_V1})
WASM_LAYERS = frozenset({WASM_LAYER, WASM_CONTENT_LAYER, WASM_MODULE_LAYER, WASM_RUNWASI_LAYER})
