"""The example workflows, as a person runs them: new processes, real kernels, a real cluster."""
