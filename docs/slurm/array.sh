#!/bin/bash
# One job of a sweep for each task of an array, with the settings in the task's line of a file (lines are numbered from 0).
#     sbatch --array=0-5 --gpus-per-node=1 docs/slurm/array.sh docs/slurm/jobs.txt stage=decoder name=voc
# Each task is requeued by itself, as in ddp.sh, and resumes in its directory.
#SBATCH --job-name=wsvs
#SBATCH --nodes=1
#SBATCH --cpus-per-task=8
#SBATCH --time=12:00:00
#SBATCH --requeue
#SBATCH --signal=B:USR1@120
#SBATCH --open-mode=append
#SBATCH --output=%x-%A_%a.log

# As in ddp.sh, but by array job and task: the job number of the last task is also that of the whole array.
trap 'scontrol requeue "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"; wait' USR1

mapfile -t jobs < "$1"
read -ra settings <<< "${jobs[SLURM_ARRAY_TASK_ID]:?has no such line}"
# <array>/<task>, like a sweep of Hydra: a job is used as another stage's input only if it is named.
export WSVS_RUN_ID="$SLURM_ARRAY_JOB_ID/$SLURM_ARRAY_TASK_ID"
wsvs "${@:2}" "${settings[@]}" &
wait $!
