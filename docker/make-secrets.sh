#!/bin/sh
# Makes the passwords of docker-compose.yml: random ones, in files that only you can reach. Files that are there are kept.
# Containers read the files as users of their own, so that it is the folder that is closed.
set -eu
folder="${1:-${RADII_SECRETS:-$(dirname "$0")/../secrets}}"
if [ -e "$folder/database_url" ]; then
  echo "The secrets in $folder are kept." >&2
  exit 0
fi
random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }
umask 077
mkdir -p "$folder"
chmod 700 "$folder"
postgres=$(random)
redis=$(random)
umask 022
printf '%s' "$postgres" > "$folder/postgres_password"
printf 'requirepass %s\nsave ""\nappendonly no\n' "$redis" > "$folder/redis_conf"
printf 'redis://:%s@redis:6379/0' "$redis" > "$folder/broker_url"
printf 'postgresql://radii:%s@postgres:5432/radii' "$postgres" > "$folder/database_url"
echo "The secrets are in $folder." >&2
