//! One client per configuration, kept while it is used: a webhook configuration that is compiled again keeps its
//! connections.

use std::collections::HashMap;
use std::sync::Arc;

use oarlock_base::TaskSpawner;
use parking_lot::Mutex;

use crate::{Client, ClientConfig, ConfigError, Observer, Resolver, ServiceResolver};

/// As upstream's client cache. A client that falls out lives on with who holds it.
const KEPT: usize = 200;

/// Makes clients. Clones share what is made.
#[derive(Clone)]
pub struct Clients(Arc<Inner>);

struct Inner {
    services: Arc<dyn ServiceResolver>,
    resolver: Resolver,
    tasks: TaskSpawner,
    observer: Option<Arc<dyn Observer>>,
    made: Mutex<Made>,
}

#[derive(Default)]
struct Made {
    clients: HashMap<ClientConfig, (u64, Arc<Client>)>,
    uses: u64,
}

impl Clients {
    /// Clients that resolve names as the host does and are watched by nobody.
    pub fn new(services: Arc<dyn ServiceResolver>, tasks: TaskSpawner) -> Self {
        Self::with(services, tasks, Resolver::default(), None)
    }

    /// `services` is asked for every new connection, `observer` told of every call.
    pub fn with(
        services: Arc<dyn ServiceResolver>,
        tasks: TaskSpawner,
        resolver: Resolver,
        observer: Option<Arc<dyn Observer>>,
    ) -> Self {
        Self(Arc::new(Inner { services, resolver, tasks, observer, made: Mutex::default() }))
    }

    /// The client of a configuration, made where there is none. Connects nothing yet.
    pub fn client(&self, config: &ClientConfig) -> Result<Arc<Client>, ConfigError> {
        let mut made = self.0.made.lock();
        made.uses += 1;
        let now = made.uses;
        if let Some((used, client)) = made.clients.get_mut(config) {
            *used = now;
            return Ok(client.clone());
        }
        let Inner { services, resolver, tasks, observer, .. } = &*self.0;
        let client =
            Client::new(config, services.clone(), resolver.clone(), tasks.clone(), observer.clone())?;
        let client = Arc::new(client);
        if made.clients.len() >= KEPT {
            made.forget_oldest();
        }
        made.clients.insert(config.clone(), (now, client.clone()));
        Ok(client)
    }
}

impl Made {
    fn forget_oldest(&mut self) {
        let oldest = self.clients.iter().min_by_key(|(_, (used, _))| *used).map(|(config, _)| config.clone());
        if let Some(config) = oldest {
            self.clients.remove(&config);
        }
    }
}
