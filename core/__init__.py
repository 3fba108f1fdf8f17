"""What every part stands on: errors, folders, settings, fingerprints."""
