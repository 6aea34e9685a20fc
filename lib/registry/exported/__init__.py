"""What goes into an exported folder as it is: see `lib.registry.exports`."""
