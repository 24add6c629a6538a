"""What the seed commands and the launcher share: reading seed files, and writing them once."""
