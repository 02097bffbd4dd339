#!/usr/bin/env bash
# cluster.sh start FOLDER | stop FOLDER: a real Slurm of two nodes on loopback, all of it in FOLDER.
#
# Needs root and Debian's packages slurm-wlm and munge; no systemd, no control groups, no accounting.  Everything
# listens on 127.0.0.1.  `start` prints the configuration file, for SLURM_CONF.  Only processes named by FOLDER's own
# pid files are ended.
set -euo pipefail
verb=$1
folder=$(mkdir -p "$2" && cd "$2" && pwd)
run=$folder/run
export SLURM_CONF=$folder/slurm.conf

configuration() {
    local host port
    host=$(hostname -s)
    port=$((20000 + $$ % 10000))
    cat <<CONF
ClusterName=loopback
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$run/munge.socket
CredType=cred/munge
# Without it the daemons and srun listen on all addresses.
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool.%n
SlurmctldPidFile=$run/slurmctld.pid
SlurmdPidFile=$run/slurmd.%n.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=1,batch_sched_delay=0
# Nodes have what is said below, whatever this machine has.
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=3
DefMemPerCPU=256
NodeName=n1 NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + 1)) CPUs=4 RealMemory=8000 State=UNKNOWN
NodeName=n2 NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + 2)) CPUs=4 RealMemory=8000 State=UNKNOWN
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
PartitionName=other Nodes=n1,n2 MaxTime=INFINITE State=UP
CONF
}

# until_true SECONDS COMMAND...
until_true() {
    local tries=$(($1 * 10)); shift
    while ! "$@"; do
        tries=$((tries - 1)); [ $tries -gt 0 ] || return 1
        sleep 0.1
    done
}

answers() { timeout 5 scontrol ping 2>/dev/null | grep -q UP; }
both_idle() { [ "$(timeout 5 sinfo --noheader --Node --partition main --format %t 2>/dev/null | grep -c '^idle')" = 2 ]; }
no_jobs() { [ -z "$(timeout 5 squeue --noheader 2>/dev/null)" ]; }

daemons() {
    local file pid
    for file in "$run"/slurmctld.pid "$run"/slurmd.*.pid "$run"/munged.pid; do
        [ -s "$file" ] || continue
        pid=$(cat "$file")
        case "$(cat "/proc/$pid/comm" 2>/dev/null)" in slurm*|munged) echo "$pid" ;; esac
    done
}
gone() { [ -z "$(daemons)" ]; }

stop() {
    if answers; then
        squeue --noheader --format %i | xargs --no-run-if-empty scancel
        until_true 20 no_jobs || true
    fi
    daemons | xargs --no-run-if-empty kill 2>/dev/null || true
    until_true 20 gone || { echo "Slurm does not end: processes $(daemons | tr '\n' ' ')" >&2; return 1; }
}

start() {
    local node
    mkdir -p "$run" "$folder"/state "$folder"/spool.n1 "$folder"/spool.n2
    chmod 755 "$folder" "$run"
    (umask 077; head -c 128 /dev/urandom > "$run/munge.key")
    munged --force --key-file="$run/munge.key" --socket="$run/munge.socket" --pid-file="$run/munged.pid" \
        --log-file="$folder/munged.log" --seed-file="$run/munge.seed"
    configuration > "$SLURM_CONF"
    # Newer nodes do not start without control groups, unless told to.
    case "$(slurmd -V)" in *' '2[0-3].*) ;; *) echo CgroupPlugin=disabled > "$folder/cgroup.conf" ;; esac
    slurmctld -c
    until_true 20 answers || { tail -n 5 "$folder/slurmctld.log" >&2; return 1; }
    for node in n1 n2; do slurmd -N "$node" -c; done
    until_true 60 both_idle || { tail -n 5 "$folder"/slurm*.log >&2; return 1; }
    echo "$SLURM_CONF"
}

case $verb in
    start) start >"$folder/start.out" 2>"$folder/start.err" || { cat "$folder/start.err" >&2; stop; exit 1; }
           tail -n 1 "$folder/start.out" ;;
    stop) stop ;;
    *) echo "cluster.sh start FOLDER | stop FOLDER" >&2; exit 2 ;;
esac
