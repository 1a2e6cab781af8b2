"""What each command of `aiqc` does; `aiqc_core.cli` imports one when it is called."""
