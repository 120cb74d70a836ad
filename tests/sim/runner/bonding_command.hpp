#pragma once

/// `mwtun_sim --bonding ...`: what several lines give together, at virtual time. Gives the exit
/// code.
int bonding_command(int argc, char** argv);
