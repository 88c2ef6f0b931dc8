package link

// LocationPath is the path of settings streams: GET answers a LocationStatus, and PUT of a Location makes it the cluster's, if its owner lets the server, and
// answers a LocationStatus, too. Both are answered by a Problem otherwise.
const LocationPath = "/v1/storage-location"

// Location is where an extension writes recovery points to, as far as the settings of its resource name it. No credentials are among it, nor what they are
// kept in: those are the cluster's own.
type Location struct {
	// Provider is azure, s3, gcs or filesystem.
	Provider  string `json:"provider"`
	Container string `json:"container"`
	// StorageAccount is Azure's, and empty otherwise.
	StorageAccount string `json:"storageAccount,omitempty"`
	// Endpoint is empty for the provider's own.
	Endpoint string `json:"endpoint,omitempty"`
}

// LocationStatus is a cluster's Location, and how it is.
type LocationStatus struct {
	Location Location `json:"location"`
	// Phase is Available or Unavailable; empty is that it has not been looked at since it was changed. Message is for people.
	Phase   string `json:"phase,omitempty"`
	Message string `json:"message,omitempty"`
	// Changed says that the request has changed it.
	Changed bool `json:"changed,omitempty"`
}
