package document

// CheckNumber returns a [NumberError] if a number in JSON exceeds the limits.
func CheckNumber(literal string) error {
	if reason := outOfBounds([]byte(literal)); reason != "" {
		return &NumberError{Reason: reason}
	}
	return nil
}
