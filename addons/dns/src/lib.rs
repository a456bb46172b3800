//! oarlock-dns.
