"""Everything around a stage: its interface, run directories, resume, launch, sweeps, tracking."""
