#!/usr/bin/env bash
# Fetches the page's script from its npm package: `make docs-page`. Without arguments, it
# fetches the version that files/scalar.sha256 names, and checks its hash. With a version as the
# argument, it upgrades to that version and updates the file. It needs npm.
set -euo pipefail
cd "$(dirname "$0")"
read -r hash version < files/scalar.sha256
wanted=${1:-$version}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && npm pack --silent "@scalar/api-reference@$wanted" >/dev/null && tar xzf ./*.tgz)
script=$work/package/dist/browser/standalone.js
got=$(sha256sum "$script" | cut -d' ' -f1)
if [ "$wanted" = "$version" ] && [ "$got" != "$hash" ]; then
  echo "the script of $version has the hash $got, want $hash: the files are as they were" >&2
  exit 1
fi
gzip -9 -n < "$script" > files/scalar.js.gz
echo "$got $wanted" > files/scalar.sha256
