"""mailbot keeps a small company's privacy promises: bytes in, a plan out, the plan carried out."""

__version__ = "0.1.0"
