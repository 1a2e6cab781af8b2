"""What each command of `aiqc` does; `aiqc_core.cli.app` imports one when it is called."""
