"""Pure torch: tensors in, tensors out. Knows no file, table or tracker."""
