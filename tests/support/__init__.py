"""What tests of several folders share besides fixtures: fake peers, factories, the oracle, the fault rig, recorders."""
