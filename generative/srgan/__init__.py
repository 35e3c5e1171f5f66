"""Super-resolution: SRGAN and, as options, the steps of ESRGAN."""
