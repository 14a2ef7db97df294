#!/bin/bash
# The whole pipeline, or any stage, on the devices of one node. It starts its ranks itself: no srun, and no --ntasks.
#     sbatch --gpus=4 docs/slurm/node.sh stage=pipeline name=voc trainer=ddp trainer.devices=4
# Requeued like ddp.sh.
#SBATCH --job-name=wsvs
#SBATCH --nodes=1
#SBATCH --cpus-per-task=16
#SBATCH --time=12:00:00
#SBATCH --requeue
#SBATCH --signal=B:USR1@120
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.log

# Two minutes before the time limit. The script waits until SLURM has ended its processes, so that they end before the next start.
trap 'scontrol requeue "$SLURM_JOB_ID"; wait' USR1

wsvs "$@" &
wait $!
