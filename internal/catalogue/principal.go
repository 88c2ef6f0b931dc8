package catalogue

// Principal is who a request is from, once that is proved.
type Principal struct {
	// ObjectID is what role assignments name, and Groups the object ids of the groups that it belongs to.
	ObjectID string
	Groups   []string
	// AppID is a service principal's client id; it is empty for people.
	AppID string
	// Tenant is where it is from, and Name for people.
	Tenant, Name string
}
