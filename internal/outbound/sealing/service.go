package sealing

import (
	"context"
	"errors"
	"net/url"

	"gocloud.dev/secrets"
	"gocloud.dev/secrets/awskms"
	"gocloud.dev/secrets/azurekeyvault"
	"gocloud.dev/secrets/gcpkms"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// openServices opens keys of KMS. None is asked yet.
func openServices(ctx context.Context, addresses []string) ([]wrapper, error) {
	var keys []wrapper
	for _, address := range addresses {
		key, err := openService(ctx, address)
		if err != nil {
			return nil, errors.Join(err, closeAll(keys))
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func openService(ctx context.Context, address string) (wrapper, error) {
	// The address is not repeated in errors: it might be a key by mistake.
	parsed, err := url.Parse(address)
	if err != nil {
		return wrapper{}, invalidService("is not a URL")
	}
	switch parsed.Scheme {
	case awskms.Scheme, azurekeyvault.Scheme, gcpkms.Scheme:
	default:
		return wrapper{}, invalidService("begins with %q", parsed.Scheme+":")
	}
	keeper, err := secrets.OpenKeeper(ctx, address)
	if err != nil {
		return wrapper{}, coffer.Errorf(coffer.CodeEncryptionKeysUnusable, "the key of %s cannot be opened: %w", parsed.Scheme, err).
			WithHint("look at its URL, and at the credentials that coffer-server runs with")
	}
	return wrapper{keeper: keeper, service: parsed.Scheme}, nil
}

func invalidService(format string, args ...any) error {
	return coffer.Errorf(coffer.CodeEncryptionKeysUnusable, "the URL of a key "+format, args...).
		WithHint("write it as awskms://alias/NAME?region=REGION, azurekeyvault://VAULT.vault.azure.net/keys/NAME or gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/K")
}
