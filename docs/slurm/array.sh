#!/bin/bash
# One job of a sweep for each task of an array: the task's line of a file, counted from 0, has its settings.
#     sbatch --array=0-5 --gpus-per-node=1 docs/slurm/array.sh docs/slurm/jobs.txt stage=decoder name=voc
# Requeued as ddp.sh is, each task by itself; it goes on in its directory.
#SBATCH --job-name=wsvs
#SBATCH --nodes=1
#SBATCH --cpus-per-task=8
#SBATCH --time=12:00:00
#SBATCH --requeue
#SBATCH --signal=B:USR1@120
#SBATCH --open-mode=append
#SBATCH --output=%x-%A_%a.log

# As ddp.sh does; by the task's place in the array, for the last one's own number is that of them all.
trap 'scontrol requeue "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"; wait' USR1

mapfile -t jobs < "$1"
read -ra settings <<< "${jobs[SLURM_ARRAY_TASK_ID]:?has no such line}"
# Laid out as Hydra lays out a sweep, <array>/<task>: no stage takes a job of it as its input unless it is named.
export WSVS_RUN_ID="$SLURM_ARRAY_JOB_ID/$SLURM_ARRAY_TASK_ID"
wsvs "${@:2}" "${settings[@]}" &
wait $!
