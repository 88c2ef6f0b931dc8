package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"
)

// readConfig sets the flags that were not given from a file, which may have no others.
func readConfig(flags *pflag.FlagSet, file string) error {
	if file == "" {
		return nil
	}
	text, err := os.ReadFile(file) //nolint:gosec // The administrator names it.
	if err != nil {
		return fmt.Errorf("--config: %w", err)
	}
	var values map[string]any
	if err := yaml.UnmarshalStrict(text, &values); err != nil {
		return fmt.Errorf("--config %s: %w", file, err)
	}
	for name, value := range values {
		flag := flags.Lookup(name)
		if flag == nil || name == "config" {
			return fmt.Errorf("--config %s: %q is no flag of coffer-server", file, name)
		}
		if flag.Changed {
			continue
		}
		text, err := spell(value)
		if err == nil {
			err = flags.Set(name, text)
		}
		if err != nil {
			return fmt.Errorf("--config %s: %s: %w", file, name, err)
		}
	}
	return nil
}

// spell writes a value as a flag takes it.
func spell(value any) (string, error) {
	list, ok := value.([]any)
	if !ok {
		list = []any{value}
	}
	words := make([]string, len(list))
	for i, v := range list {
		switch v.(type) {
		case string, bool, float64:
			words[i] = fmt.Sprint(v)
		default:
			return "", errors.New("it has no value that a flag could have: write a text, or a list of texts")
		}
	}
	return strings.Join(words, ","), nil
}
