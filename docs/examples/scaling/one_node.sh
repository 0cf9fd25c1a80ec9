#!/usr/bin/env bash
# One machine: ./one_node.sh ddp.yaml kia_graph --variant iu_xray --out runs/kia
# The first word is a configuration beside this file, the others are those of `rrg run`.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
config=$1
shift

export OMP_NUM_THREADS=${OMP_NUM_THREADS:-4}
exec accelerate launch --config_file "$here/$config" -m rrgcore run "$@"
