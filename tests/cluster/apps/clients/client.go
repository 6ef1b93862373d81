// client.go: Go's net/http as a client, with Go's own resolver (the form is in clients.py).
package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	trusted := x509.NewCertPool()
	text, err := os.ReadFile(os.Getenv("CLIENT_CA"))
	if err != nil || !trusted.AppendCertsFromPEM(text) {
		panic("CLIENT_CA has no certificate")
	}
	versions := map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}
	patience, err := strconv.ParseFloat(os.Getenv("CLIENT_PATIENCE"), 64)
	if err != nil {
		panic(err)
	}
	dialer := net.Dialer{Timeout: time.Duration(patience * float64(time.Second)), Resolver: &net.Resolver{PreferGo: true}}
	client := &http.Client{Transport: &http.Transport{
		Proxy:             http.ProxyFromEnvironment,
		DialContext:       dialer.DialContext,
		TLSClientConfig:   &tls.Config{RootCAs: trusted, MaxVersion: versions[os.Getenv("CLIENT_TLS")]},
		DisableKeepAlives: true,
	}}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		times, err := strconv.Atoi(words[0])
		if err != nil {
			panic(err)
		}
		for ; times > 0; times-- {
			fmt.Println(words[1], call(client, words[1]))
		}
	}
}

func call(client *http.Client, url string) string {
	answer, err := client.Get(url)
	if err != nil {
		return word(err)
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return word(err)
	}
	return strconv.Itoa(answer.StatusCode)
}

func word(err error) string {
	var resolving *net.DNSError
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var other x509.HostnameError
	var waiting net.Error
	switch {
	case errors.As(err, &resolving):
		return "resolve"
	case errors.As(err, &unknown), errors.As(err, &invalid), errors.As(err, &other):
		return "certificate"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.As(err, &waiting) && waiting.Timeout():
		return "timeout"
	}
	return "other:" + strings.ReplaceAll(err.Error(), " ", "_")
}
