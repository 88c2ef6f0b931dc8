package cli

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
)

// variable is one that a provider's own tools read, and the key of the Secret that its value goes under.
type variable struct {
	name, key string
	optional  bool
}

// variables are sets of which the first that is there counts.
func variables(provider v1alpha1.StorageProvider) [][]variable {
	switch provider {
	case v1alpha1.ProviderAzure:
		return [][]variable{
			{{name: "AZURE_STORAGE_KEY", key: v1alpha1.SecretKeyAccountKey}},
			{{name: "AZURE_STORAGE_SAS_TOKEN", key: v1alpha1.SecretKeySASToken}},
			{
				{name: "AZURE_TENANT_ID", key: v1alpha1.SecretKeyTenantID}, {name: "AZURE_CLIENT_ID", key: v1alpha1.SecretKeyClientID},
				{name: "AZURE_CLIENT_SECRET", key: v1alpha1.SecretKeyClientSecret},
			},
		}
	case v1alpha1.ProviderS3:
		return [][]variable{{
			{name: "AWS_ACCESS_KEY_ID", key: v1alpha1.SecretKeyAccessKeyID}, {name: "AWS_SECRET_ACCESS_KEY", key: v1alpha1.SecretKeySecretAccessKey},
			{name: "AWS_SESSION_TOKEN", key: v1alpha1.SecretKeySessionToken, optional: true},
		}}
	}
	return nil
}

// credentials are the data of a Secret to be made; nil for none. They come from a file or the environment: arguments are
// seen by everybody on the machine, and kept in histories.
func (f storageFlags) credentials() (map[string][]byte, error) {
	provider := v1alpha1.StorageProvider(f.provider)
	switch {
	case f.credentialsFile != "":
		text, err := os.ReadFile(f.credentialsFile)
		if err != nil {
			return nil, fmt.Errorf("--credentials-file: %w", err)
		}
		if provider == v1alpha1.ProviderGCS {
			return map[string][]byte{v1alpha1.SecretKeyCredentialsJSON: text}, nil
		}
		return parseCredentials(f.credentialsFile, text, provider)
	case f.credentialsEnv && provider == v1alpha1.ProviderGCS:
		file := os.Getenv("GOOGLE_APPLICATION_CREDENTIALS")
		if file == "" {
			return nil, usageError{errors.New("--credentials-env: set GOOGLE_APPLICATION_CREDENTIALS to a key file")}
		}
		text, err := os.ReadFile(file) //nolint:gosec // the user's own choice of file
		if err != nil {
			return nil, fmt.Errorf("GOOGLE_APPLICATION_CREDENTIALS: %w", err)
		}
		return map[string][]byte{v1alpha1.SecretKeyCredentialsJSON: text}, nil
	case f.credentialsEnv:
		return readVariables(provider)
	}
	return nil, nil
}

func readVariables(provider v1alpha1.StorageProvider) (map[string][]byte, error) {
	var sets []string
	for _, set := range variables(provider) {
		data := map[string][]byte{}
		var needed []string
		complete := true
		for _, v := range set {
			value := os.Getenv(v.name)
			if value != "" {
				data[v.key] = []byte(value)
			}
			if !v.optional {
				needed = append(needed, v.name)
				complete = complete && value != ""
			}
		}
		if complete {
			return data, nil
		}
		sets = append(sets, strings.Join(needed, " and "))
	}
	return nil, usageError{fmt.Errorf("--credentials-env: set %s", strings.Join(sets, ", or "))}
}

// parseCredentials reads lines KEY=VALUE. Errors name lines and keys, and never show a value.
func parseCredentials(file string, text []byte, provider v1alpha1.StorageProvider) (map[string][]byte, error) {
	var known []string
	for _, set := range variables(provider) {
		for _, v := range set {
			known = append(known, v.key)
		}
	}
	data := map[string][]byte{}
	for i, line := range bytes.Split(text, []byte("\n")) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		key, value, ok := bytes.Cut(line, []byte("="))
		name := string(bytes.TrimSpace(key))
		if !ok || !slices.Contains(known, name) {
			return nil, usageError{fmt.Errorf("--credentials-file %s, line %d: write KEY=VALUE with one of the keys %s", file, i+1, strings.Join(known, ", "))}
		}
		data[name] = bytes.TrimSpace(value)
	}
	if len(data) == 0 {
		return nil, usageError{fmt.Errorf("--credentials-file %s holds none of the keys %s", file, strings.Join(known, ", "))}
	}
	return data, nil
}
