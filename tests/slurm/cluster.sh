#!/usr/bin/env bash
# A SLURM cluster of one node, this machine, all of it in one folder:
#     bash tests/slurm/cluster.sh start FOLDER    and then: export SLURM_CONF=FOLDER/slurm.conf
#     bash tests/slurm/cluster.sh stop FOLDER
# Needs root and Debian's packages slurm-wlm, munge, slurmdbd and mariadb-server; no systemd.
# `start` ends with 3 and one sentence where the cluster cannot be started.
set -euo pipefail

action="${1:?start or stop}"
folder="$(realpath -m "${2:?a folder}")"
conf="$folder/slurm.conf"
export SLURM_CONF="$conf"
# What the daemons are, last started first.
daemons=(slurmd slurmctld slurmdbd mariadbd munged)

fail() {
    echo "$1" >&2
    stop
    exit 3
}

stop() {
    local name pid
    for name in "${daemons[@]}"; do
        pid="$(cat "$folder/$name.pid" 2>/dev/null || true)"
        [ -n "$pid" ] || continue
        kill "$pid" 2>/dev/null || true
        for _ in $(seq 100); do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.1
        done
        kill -9 "$pid" 2>/dev/null || true
        rm -f "$folder/$name.pid"
    done
}

# Starts a daemon in the foreground mode that it has, in the background of this script.
begin() {
    local name="$1"
    shift
    nohup "$@" >"$folder/$name.out" 2>&1 </dev/null &
    echo "$!" >"$folder/$name.pid"
}

# Waits until a command succeeds, as long as the daemon lives.
await() {
    local name="$1" end=$((SECONDS + 60))
    shift
    while [ "$SECONDS" -lt "$end" ]; do
        timeout 10 "$@" >/dev/null 2>&1 && return
        kill -0 "$(cat "$folder/$name.pid")" 2>/dev/null || break
        sleep 0.2
    done
    fail "$name did not start: $(tail -n 2 "$folder/$name.out" "$folder/$name.log" 2>/dev/null | tr '\n' ' ')"
}

start() {
    [ "$(id -u)" = 0 ] || { echo "the daemons of SLURM need root" >&2; exit 3; }
    local command port ports
    for command in munged mariadbd mariadb-install-db slurmdbd slurmctld slurmd sbatch sacct; do
        PATH="$PATH:/usr/sbin" command -v "$command" >/dev/null ||
            { echo "$command is missing; install slurm-wlm, munge, slurmdbd and mariadb-server" >&2; exit 3; }
    done
    export PATH="$PATH:/usr/sbin"
    mkdir -p "$folder"/{spool,state,database}
    # munged wants nobody else to write above its socket.
    chmod 755 "$folder"
    ports="$(python3 - <<'PYTHON'
import socket
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
print(*(own.getsockname()[1] for own in sockets))
PYTHON
)"
    read -r -a port <<<"$ports"
    local host
    host="$(hostname -s)"
    cat >"$conf" <<CONF
ClusterName=adaptax
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
SlurmctldPort=${port[0]}
SlurmdPort=${port[1]}
SlurmctldPidFile=$folder/slurmctld.own
SlurmdPidFile=$folder/slurmd.own
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=${port[2]}
AccountingStoragePass=$folder/munge.socket
JobRequeue=1
ReturnToService=2
MpiDefault=none
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=all Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
    cat >"$folder/slurmdbd.conf" <<CONF
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
DbdHost=$host
DbdAddr=127.0.0.1
DbdPort=${port[2]}
SlurmUser=root
LogFile=$folder/slurmdbd.log
PidFile=$folder/slurmdbd.own
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm
CONF
    chmod 600 "$folder/slurmdbd.conf"

    [ -f "$folder/munge.key" ] || head -c 1024 /dev/urandom >"$folder/munge.key"
    chmod 600 "$folder/munge.key"
    begin munged munged --foreground --force --key-file="$folder/munge.key" \
        --socket="$folder/munge.socket" --pid-file="$folder/munged.own" \
        --log-file="$folder/munged.log" --seed-file="$folder/munge.seed"
    await munged munge --no-input --socket="$folder/munge.socket"

    local database="$folder/database"
    [ -d "$database/mysql" ] || mariadb-install-db --no-defaults --user=root \
        --auth-root-authentication-method=normal --datadir="$database" >"$folder/install.log" 2>&1 ||
        fail "mariadb-install-db failed: $(tail -n 2 "$folder/install.log" | tr '\n' ' ')"
    # slurmdbd reads where the database listens from MariaDB's own file of options.
    export MYSQL_UNIX_PORT="$folder/database.socket"
    begin mariadbd mariadbd --no-defaults --user=root --datadir="$database" --skip-networking \
        --socket="$MYSQL_UNIX_PORT" --innodb-buffer-pool-size=64M
    await mariadbd mariadb --no-defaults --socket="$MYSQL_UNIX_PORT" -e "create database if not exists slurm"

    begin slurmdbd slurmdbd -D
    await slurmdbd sacctmgr --noheader show cluster
    # Whether it is there already or not.
    sacctmgr --immediate add cluster adaptax >/dev/null 2>&1 || true
    begin slurmctld slurmctld -D -c
    await slurmctld scontrol ping
    begin slurmd slurmd -D
    await slurmd sh -c "sinfo --noheader --format=%T | grep -q idle"
    echo "export SLURM_CONF=$conf"
}

case "$action" in
start) start ;;
stop) stop ;;
*)
    echo "the action is '$action'; it must be start or stop" >&2
    exit 2
    ;;
esac
