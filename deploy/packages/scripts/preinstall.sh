#!/bin/sh
# Creates the user that owns the data. It has no password, no shell and no home.
set -e
getent group clusterlite >/dev/null || groupadd --system clusterlite
getent passwd clusterlite >/dev/null ||
  useradd --system --gid clusterlite --home-dir /var/lib/clusterlite --no-create-home --shell /usr/sbin/nologin clusterlite
