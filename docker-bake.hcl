# The published images, each for two architectures, from the same Dockerfiles as a checkout uses:
#
#   CLUSTERLITE_IMAGE_PREFIX=registry.example.com/clusterlite- CLUSTERLITE_VERSION=v1.2.0 docker buildx bake --push
variable "CLUSTERLITE_IMAGE_PREFIX" { default = "clusterlite-" }
variable "CLUSTERLITE_VERSION" { default = "dev" }

group "default" { targets = ["image"] }

target "image" {
  name       = name
  matrix     = { name = ["command", "query", "tool"] }
  dockerfile = "Dockerfile.${name}"
  args       = { VERSION = CLUSTERLITE_VERSION }
  tags       = ["${CLUSTERLITE_IMAGE_PREFIX}${name}:${CLUSTERLITE_VERSION}"]
  platforms  = ["linux/amd64", "linux/arm64"]
  attest     = ["type=sbom", "type=provenance,mode=max"]
}
