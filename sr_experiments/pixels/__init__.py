"""Value ranges, eight bits, MATLAB's imresize, random draws and atomic files: what every other room may use."""
