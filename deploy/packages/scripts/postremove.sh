#!/bin/sh
# The data in /var/lib/clusterlite and its owner stay, even after a purge: they may be the only copy
# of the log.
set -e
[ ! -d /run/systemd/system ] || systemctl daemon-reload
