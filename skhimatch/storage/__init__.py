"""The files of saved classifiers: checked folders, arrays and JSON values, without pickle."""
