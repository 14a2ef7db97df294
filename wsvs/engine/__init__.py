"""Everything around the work of a stage: its contract, run directories, resume, launch, sweeps, tracking."""
