#!/bin/bash
# One stage on all devices of several nodes; srun starts one process per device:
#     sbatch --nodes=2 --ntasks-per-node=4 --gpus-per-node=4 docs/slurm/ddp.sh stage=segment name=voc
# A job that is preempted, loses a node or runs out of time is requeued under the same number, and resumes.
#SBATCH --job-name=wsvs
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=4
#SBATCH --time=12:00:00
#SBATCH --requeue
#SBATCH --signal=B:USR1@120
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.log

# Two minutes before the time limit. The script waits until SLURM has ended its processes, so that they end before the next start.
trap 'scontrol requeue "$SLURM_JOB_ID"; wait' USR1

# Since SLURM 22.05 srun does not inherit --cpus-per-task from sbatch.
srun --kill-on-bad-exit=1 --cpus-per-task="$SLURM_CPUS_PER_TASK" \
    wsvs "$@" trainer=ddp trainer.num_nodes="$SLURM_NNODES" trainer.devices="$SLURM_NTASKS_PER_NODE" &
wait $!
