//! IOCTL codes and records shared by the driver and its control tool.
