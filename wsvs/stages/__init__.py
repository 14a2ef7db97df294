"""The stages, one file each. They communicate through files only; `wsvs.engine` runs them."""
