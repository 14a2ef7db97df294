#!/bin/bash
# One stage on all devices of several nodes; srun starts one torchrun per node:
#     sbatch --nodes=2 --gpus-per-node=4 docs/slurm/torchrun.sh stage=decoder name=voc
# Requeued like ddp.sh.
#SBATCH --job-name=wsvs
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --time=12:00:00
#SBATCH --requeue
#SBATCH --signal=B:USR1@120
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.log

# Two minutes before the time limit. The script waits until SLURM has ended its processes, so that they end before the next start.
trap 'scontrol requeue "$SLURM_JOB_ID"; wait' USR1

devices=${SLURM_GPUS_ON_NODE:-1}
first=${MASTER_ADDR:-$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)}
srun --kill-on-bad-exit=1 --cpus-per-task="$SLURM_CPUS_PER_TASK" \
    torchrun --nnodes="$SLURM_NNODES" --nproc-per-node="$devices" --rdzv-id="$SLURM_JOB_ID" \
    --rdzv-backend=c10d --rdzv-endpoint="$first:$((20000 + SLURM_JOB_ID % 10000))" \
    -m wsvs "$@" trainer=ddp trainer.num_nodes="$SLURM_NNODES" trainer.devices="$devices" &
wait $!
