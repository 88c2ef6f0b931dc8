package bounded

import "fmt"

// JSONLimits bound a JSON text before it is decoded. A zero field forbids everything: name all.
type JSONLimits struct {
	// Depth is how deep arrays and objects nest at most.
	Depth int
	// Containers is how many arrays and objects there are at most, and Values how many values of any kind.
	Containers, Values int
}

// JSON is an error if a text exceeds the limits. It allocates nothing, and does not say whether the text is JSON at all.
func JSON(text []byte, limits JSONLimits) error {
	if len(text) < min(limits.Depth, limits.Containers, limits.Values) {
		// Each takes a byte at least.
		return nil
	}
	depth, containers, values := 0, 0, 1
	quoted, escaped := false, false
	for _, c := range text {
		if quoted {
			switch {
			case escaped:
				escaped = false
			case c == '\\':
				escaped = true
			case c == '"':
				quoted = false
			}
			continue
		}
		switch c {
		case '"':
			quoted = true
		case '[', '{':
			depth++
			containers++
			values++
		case ']', '}':
			depth--
		case ',':
			values++
		}
		switch {
		case depth > limits.Depth:
			return fmt.Errorf("JSON nests deeper than %d", limits.Depth)
		case containers > limits.Containers:
			return fmt.Errorf("JSON has more than %d arrays and objects", limits.Containers)
		case values > limits.Values:
			return fmt.Errorf("JSON has more than %d values", limits.Values)
		}
	}
	return nil
}
