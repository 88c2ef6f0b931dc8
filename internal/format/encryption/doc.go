// Package encryption encrypts and decrypts the blobs of recovery points with age (age-encryption.org/v1).
//
// A blob is encrypted as a whole, so that the stock tool decrypts it: `age -d -i keys.txt NAME.tar.gz.age | tar tz`. Its
// payload is a series of chunks of 64 KiB that are sealed one by one, so that a part of it is read without the rest.
package encryption
