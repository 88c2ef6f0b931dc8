package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"sigs.k8s.io/yaml"
)

// maxInput bounds what is read of a file, or piped in: a server takes no more.
const maxInput = 4 << 20

// readBytes reads a file, or what is piped in for "-".
func (p *program) readBytes(flag, file string) ([]byte, error) {
	in := p.In
	if file != "-" {
		f, err := os.Open(file) //nolint:gosec // The person names it.
		if err != nil {
			return nil, fmt.Errorf("%s: %w", flag, err)
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxInput+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s %s: %w", flag, file, err)
	case len(text) > maxInput:
		return nil, fmt.Errorf("%s %s is larger than %d MiB", flag, file, maxInput>>20)
	}
	return text, nil
}

// readInput reads JSON, or YAML, which it answers as JSON. JSON is as it was written.
func (p *program) readInput(flag, file string) (json.RawMessage, error) {
	text, err := p.readBytes(flag, file)
	if err != nil || json.Valid(text) {
		return text, err
	}
	asJSON, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return nil, fmt.Errorf("%s %s is neither JSON nor YAML: %w", flag, file, err)
	}
	return asJSON, nil
}
