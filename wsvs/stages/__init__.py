"""The stages, one file each. They meet through files only; what is around their work is `wsvs.engine`."""
