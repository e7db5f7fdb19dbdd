#!/bin/sh
# Stops the services when the package is removed, and not when it is upgraded: dpkg calls this with
# "remove", rpm with 0.
set -e
case "${1:-}" in remove | 0) ;; *) exit 0 ;; esac
[ -d /run/systemd/system ] || exit 0
systemctl disable --now clusterlite-snapshots.service clusterlite-command.service clusterlite-query.service clusterlite.service || true
