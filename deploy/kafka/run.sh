#!/bin/sh
# Runs one Apache Kafka node (KRaft, one process) for tests and demonstrations. It needs
# Java 17; the jars come by Maven the first time. It prints "ready <host:port>" when the
# node takes requests, and stops it when standard input closes or on Ctrl-C.
#
#   deploy/kafka/run.sh [--port 9092] [--controller-port 9093] [--dir DIR]
#                       [--secure-port 9094 --pem FILE --user NAME --password WORD]
#   deploy/kafka/run.sh --fetch
#
# With --fetch it only fetches the jars that deploy/kafka/pom.xml pins, again if they are here.
# Without --dir the data lies in a temporary directory and goes with the node. With
# --secure-port there is a second listener with TLS (a PEM file: key, then certificates)
# and SASL PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
port=9092 controller_port=9093 dir= secure_port= pem= user= password=
fetch=
if [ "${1:-}" = --fetch ]; then
	fetch=yes
	shift
	rm -rf "$here/libs"
fi
while [ $# -gt 0 ]; do
	case $1 in
	--port) port=$2 ;;
	--controller-port) controller_port=$2 ;;
	--dir) dir=$2 ;;
	--secure-port) secure_port=$2 ;;
	--pem) pem=$2 ;;
	--user) user=$2 ;;
	--password) password=$2 ;;
	*) echo "unknown option $1" >&2; exit 2 ;;
	esac
	shift 2
done

fail() {
	echo "$1" >&2
	exit "${2:-1}"
}

command -v java >/dev/null || fail "Apache Kafka needs Java 17, and there is no java here" 3
if [ ! -d "$here/libs" ]; then
	command -v mvn >/dev/null || fail "Apache Kafka's jars are not here yet, and there is no mvn to fetch them" 3
	echo "fetching Apache Kafka by Maven" >&2
	new="$here/libs.$$"
	if ! (cd "$here" && mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
		-DoutputDirectory="$new" >&2); then
		rm -rf "$new"
		fail "Maven could not fetch Apache Kafka" 3
	fi
	# Another run may have been quicker.
	if [ -d "$here/libs" ]; then rm -rf "$new"; else mv "$new" "$here/libs"; fi
fi
if [ -n "$fetch" ]; then exit; fi

temporary=
if [ -z "$dir" ]; then
	dir=$(mktemp -d "${TMPDIR:-/tmp}/tributary-kafka.XXXXXX")
	temporary=$dir
fi
mkdir -p "$dir"

listeners="PLAIN://127.0.0.1:$port"
if [ -n "$secure_port" ]; then listeners="$listeners,SECURE://127.0.0.1:$secure_port"; fi
(
	umask 077
	cat >"$dir/server.properties" <<-END
		process.roles=broker,controller
		node.id=1
		controller.quorum.voters=1@127.0.0.1:$controller_port
		controller.listener.names=CONTROLLER
		listeners=$listeners,CONTROLLER://127.0.0.1:$controller_port
		advertised.listeners=$listeners
		listener.security.protocol.map=PLAIN:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL
		inter.broker.listener.name=PLAIN
		log.dirs=$dir/data
		auto.create.topics.enable=false
		offsets.topic.replication.factor=1
		offsets.topic.num.partitions=4
		transaction.state.log.replication.factor=1
		transaction.state.log.min.isr=1
		group.initial.rebalance.delay.ms=0
		group.min.session.timeout.ms=100
	END
	if [ -n "$secure_port" ]; then
		module=org.apache.kafka.common.security
		cat >>"$dir/server.properties" <<-END
			ssl.keystore.type=PEM
			ssl.keystore.location=$pem
			ssl.client.auth=none
			sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
			listener.name.secure.plain.sasl.jaas.config=$module.plain.PlainLoginModule required user_$user="$password";
			listener.name.secure.scram-sha-256.sasl.jaas.config=$module.scram.ScramLoginModule required;
			listener.name.secure.scram-sha-512.sasl.jaas.config=$module.scram.ScramLoginModule required;
		END
	fi
)

tool() { java -Xmx256m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp "$here/libs/*" kafka.tools.StorageTool "$@"; }
if [ ! -f "$dir/data/meta.properties" ]; then
	set --
	if [ -n "$user" ]; then
		set -- --add-scram "SCRAM-SHA-256=[name=$user,password=$password]" \
			--add-scram "SCRAM-SHA-512=[name=$user,password=$password]"
	fi
	tool format -t "$(tool random-uuid 2>/dev/null)" -c "$dir/server.properties" "$@" >"$dir/kafka.log" 2>&1 ||
		{ cat "$dir/kafka.log" >&2; exit 1; }
fi

java -Xmx512m -XX:+UseSerialGC -cp "$here/libs/*" kafka.Kafka "$dir/server.properties" >>"$dir/kafka.log" 2>&1 </dev/null &
node=$!
stop() {
	trap - EXIT INT TERM
	kill "$node" 2>/dev/null || true
	wait "$node" 2>/dev/null || true
	if [ -n "$temporary" ]; then rm -rf "$temporary"; fi
}
trap stop EXIT
trap 'exit 130' INT TERM

tries=0
until grep -q 'Kafka Server started' "$dir/kafka.log"; do
	tries=$((tries + 1))
	if [ $tries -gt 300 ] || ! kill -0 "$node" 2>/dev/null; then
		tail -n 40 "$dir/kafka.log" >&2
		fail "Apache Kafka did not start"
	fi
	sleep 0.2
done
echo "ready 127.0.0.1:$port"
cat >/dev/null # until standard input closes
