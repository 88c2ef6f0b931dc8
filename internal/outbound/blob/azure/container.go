// Package azure keeps a blob container in an Azure storage account.
package azure

import (
	"fmt"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/outbound/blob/object"
)

// Config names a container and says how it is reached.
type Config struct {
	// Account is the name of the storage account.
	Account   string
	Container string
	// Prefix is a folder in the container; empty for all of it.
	Prefix string
	// Endpoint is the URL of the account's blob service; empty is that of Azure's public cloud.
	Endpoint string
	// CACert is PEM with what is trusted beside the machine's own certificates.
	CACert string
	// Credentials; the zero value is the SDK's chain: workload identity and managed identity among others.
	Credentials Credentials
	// Idle bounds how long a request may stand still; zero is a minute.
	Idle time.Duration
	// PageSize of listings; zero is the store's own.
	PageSize int
}

// Credentials are an account key, a SAS token, or a service principal.
type Credentials struct {
	AccountKey string
	// SASToken is the query of a shared access signature.
	SASToken string
	// TenantID, ClientID and ClientSecret are a service principal's.
	TenantID, ClientID, ClientSecret string
}

// maxParts is Azure's limit.
const maxParts = 50_000

// Open makes a client for the container. Nothing is asked of the store yet.
func Open(c Config) (*object.Container, error) {
	link, err := object.NewLink(object.LinkConfig{CACert: c.CACert, Idle: c.Idle})
	if err != nil {
		return nil, err
	}
	if c.Endpoint == "" {
		c.Endpoint = fmt.Sprintf("https://%s.blob.core.windows.net", c.Account)
	}
	client, err := newClient(c, link)
	if err != nil {
		return nil, err
	}
	return object.New(object.Config{
		Store: &store{client: client}, Link: link, Prefix: c.Prefix,
		Name:     fmt.Sprintf("container %q of storage account %s", c.Container, c.Account),
		PageSize: c.PageSize, MaxParts: maxParts,
	}), nil
}

func newClient(c Config, link *object.Link) (*container.Client, error) {
	url := strings.TrimSuffix(c.Endpoint, "/") + "/" + c.Container
	options := &container.ClientOptions{ClientOptions: azcore.ClientOptions{
		Transport: link,
		Retry:     policy.RetryOptions{MaxRetries: -1},
		Telemetry: policy.TelemetryOptions{ApplicationID: "coffer"},
	}}
	k := c.Credentials
	switch {
	case k.AccountKey != "":
		key, err := container.NewSharedKeyCredential(c.Account, k.AccountKey)
		if err != nil {
			// The SDK's error would quote the key.
			return nil, coffer.Errorf(coffer.CodeLocationNotReady, "the key of storage account %s is not base64", c.Account).
				WithHint("copy the key as Azure shows it into the Secret that credentialsSecretRef names")
		}
		return container.NewClientWithSharedKeyCredential(url, key, options)
	case k.SASToken != "":
		return container.NewClientWithNoCredential(url+"?"+strings.TrimPrefix(k.SASToken, "?"), options)
	case k.ClientSecret != "":
		principal, err := azidentity.NewClientSecretCredential(k.TenantID, k.ClientID, k.ClientSecret, nil)
		if err != nil {
			return nil, coffer.Errorf(coffer.CodeLocationNotReady, "the service principal of storage account %s: %w", c.Account, err).
				WithHint("correct the Secret that credentialsSecretRef names")
		}
		return container.NewClient(url, principal, options)
	}
	chain, err := azidentity.NewDefaultAzureCredential(nil)
	if err != nil {
		return nil, coffer.Errorf(coffer.CodeLocationNotReady, "no identity for storage account %s: %w", c.Account, err).
			WithHint("name a Secret with credentialsSecretRef, or give the extension's pod a workload identity")
	}
	return container.NewClient(url, chain, options)
}
