"""New plugins: a distribution that installs, runs and passes its tests as it is written."""
