package localaws

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// door is where the HTTPS front doors come from.
type door interface {
	FrontDoor(region string) http.Handler
	TLSConfig(region string) *tls.Config
}

// frontDoors are the HTTPS listeners of API Gateway: one loopback address a
// region, opened when the region is first named, all on the same port, so that
// a DNS answer alone decides which region a client reaches.
type frontDoors struct {
	log     *slog.Logger
	gateway door
	port    int

	mu      sync.Mutex
	regions map[string]netip.Addr
	servers []*http.Server
}

// firstDoor is the address of the first region; 127.0.0.1 is the endpoint's.
var firstDoor = netip.MustParseAddr("127.0.0.2")

const portTries = 20

// openDoors finds a port that is free on every region's address.
func openDoors(log *slog.Logger, gateway door, port int, regions []string) (*frontDoors, error) {
	var err error
	for range portTries {
		d := &frontDoors{log: log, gateway: gateway, port: port, regions: map[string]netip.Addr{}}
		if err = d.openAll(regions); err == nil {
			return d, nil
		}
		d.close(0)
		if port != 0 {
			break
		}
	}
	return nil, fmt.Errorf("open the front doors: %w", err)
}

func (d *frontDoors) openAll(regions []string) error {
	for _, region := range regions {
		if _, err := d.open(region); err != nil {
			return err
		}
	}
	return nil
}

// AddressOf is the front door's address, opening it where it is the first
// time that the region is named.
func (d *frontDoors) AddressOf(region string) (netip.Addr, bool) {
	address, err := d.open(region)
	if err != nil {
		d.log.Error("front door", "region", region, "error", err)
		return netip.Addr{}, false
	}
	return address, true
}

func (d *frontDoors) open(region string) (netip.Addr, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if address, known := d.regions[region]; known {
		return address, nil
	}
	address := firstDoor
	for range d.regions {
		address = address.Next()
	}
	listener, err := net.Listen("tcp", netip.AddrPortFrom(address, uint16(d.port)).String())
	if err != nil {
		return netip.Addr{}, fmt.Errorf("region %s: %w", region, err)
	}
	d.port = listener.Addr().(*net.TCPAddr).Port
	server := &http.Server{
		Handler: d.gateway.FrontDoor(region), TLSConfig: d.gateway.TLSConfig(region),
		ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(d.log.Handler(), slog.LevelDebug),
	}
	go func() {
		if err := server.ServeTLS(listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
			d.log.Error("front door", "region", region, "error", err)
		}
	}()
	d.regions[region] = address
	d.servers = append(d.servers, server)
	return address, nil
}

// close ends the listeners, giving requests under way that long.
func (d *frontDoors) close(grace time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, server := range d.servers {
		if grace == 0 {
			server.Close() // Non-fatal: the process ends.
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), grace)
		if server.Shutdown(ctx) != nil {
			server.Close() // Non-fatal: as above.
		}
		cancel()
	}
}
