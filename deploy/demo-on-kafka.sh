#!/usr/bin/env bash
# Plays the demo on Apache Kafka: starts one node, keeps its data beside the demo's, and
# stops it afterwards. Arguments go to tributary demo.
set -euo pipefail
cd "$(dirname "$0")/.."

port=${KAFKA_PORT:-19092}
mkdir -p demo-data-kafka
coproc node { deploy/kafka/run.sh --port "$port" --controller-port "$((port + 1))" --dir "$PWD/demo-data-kafka/kafka"; }
node_pid=$node_PID
exec {answers}<&"${node[0]}" {hold}>&"${node[1]}" # the node stops when the last holder of its standard input closes it
eval "exec ${node[1]}>&-"
stop() {
	exec {hold}>&-
	wait "$node_pid" 2>/dev/null || true
}
trap stop EXIT

read -r word address <&"$answers" || exit 1
[ "$word" = ready ]
./bin/tributary demo --data demo-data-kafka --brokers "$address" "$@"
