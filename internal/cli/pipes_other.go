//go:build !unix

package cli

func ignoreBrokenPipes() {}
