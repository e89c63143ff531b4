//! `towel user`: through the running server where there is one, else in the store itself.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use towel_core::auth::User as CoreUser;
use towel_server::config::Config;
use towel_server::users::{Source, Users, parse, realm_of};

use crate::http::{Port, escape};
use crate::options::{Place, password_of};
use crate::progress::Progress;

/// Add, remove and list users, and change their passwords.
#[derive(Debug, Args)]
pub(crate) struct User {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    place: Place,
    /// Answer as JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Add a user; without a password one is made and printed
    Add(Named),
    /// Change a user's password; without one, one is made and printed
    Password(Named),
    /// Remove a user
    Remove {
        /// name or name@domain
        user: String,
    },
    /// List all users
    List,
}

#[derive(Debug, Args)]
struct Named {
    /// name or name@domain
    user: String,
    /// The password (others on this machine may see a command line: --password-file is safer)
    #[arg(long, env = "TOWEL_PASSWORD", hide_env_values = true)]
    password: Option<String>,
    /// File whose first line is the password; - for the standard input
    #[arg(long, value_name = "FILE", conflicts_with = "password")]
    password_file: Option<PathBuf>,
}

impl Named {
    fn password(&self) -> Result<Option<String>> {
        match &self.password_file {
            Some(path) => password_of(path).map(Some),
            None => Ok(self.password.clone()),
        }
    }
}

impl User {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let config = self.place.load()?;
        let port = self.place.port(&config);
        let done = match &self.what {
            What::Add(named) => self.set(&config, port, named, false)?,
            What::Password(named) => self.set(&config, port, named, true)?,
            What::Remove { user } => {
                match port {
                    Some(port) => {
                        port.json("DELETE", &format!("/api/users/{}", escape(user)), None)?;
                    }
                    None => {
                        let (name, domain) = parse(user, &config).map_err(anyhow::Error::msg)?;
                        let realm = realm_of(&config, &domain);
                        let (users, store) = open(&config)?;
                        if users.get(&name, &realm).is_none() {
                            bail!("there is no user {name} in realm {realm}");
                        }
                        put(&store, CoreUser::removal(&name, &realm))?;
                    }
                }
                (json!({ "removed": user }), format!("{user} is removed"))
            }
            What::List => self.list(&config, port)?,
        };
        let (value, text) = done;
        say!("{}", if self.json { value.to_string() } else { text });
        Ok(ExitCode::SUCCESS)
    }

    fn set(
        &self,
        config: &Config,
        port: Option<Port>,
        named: &Named,
        change: bool,
    ) -> Result<(Value, String)> {
        let given = named.password()?;
        let made = match port {
            Some(port) if change => {
                let body = json!({ "password": given });
                port.json("PUT", &format!("/api/users/{}", escape(&named.user)), Some(&body))?
            }
            Some(port) => {
                let body = json!({ "user": named.user, "password": given });
                port.json("POST", "/api/users", Some(&body))?
            }
            None => {
                let (name, domain) = parse(&named.user, config).map_err(anyhow::Error::msg)?;
                let realm = realm_of(config, &domain);
                let (users, store) = open(config)?;
                match (users.get(&name, &realm).is_some(), change) {
                    (true, false) => bail!("there is a user {name} in realm {realm} already"),
                    (false, true) => bail!("there is no user {name} in realm {realm}"),
                    _ => {}
                }
                let made = match &given {
                    Some(_) => None,
                    None => Some(towel_server::secret::password()?),
                };
                let password = given.as_ref().or(made.as_ref()).map_or("", String::as_str);
                put(&store, CoreUser::new(&name, &realm, password).record())?;
                json!({ "user": named.user, "password": made })
            }
        };
        let did = if change { "has a new password" } else { "is added" };
        let text = match made.get("password").and_then(Value::as_str) {
            Some(password) => format!("{} {did}: {password}", named.user),
            None => format!("{} {did}", named.user),
        };
        Ok((made, text))
    }

    fn list(&self, config: &Config, port: Option<Port>) -> Result<(Value, String)> {
        let mut rows = Vec::new();
        match port {
            Some(port) => loop {
                let path = format!("/api/users?offset={}&limit=10000", rows.len());
                let page = port.get(&path)?;
                let found = page.get("users").and_then(Value::as_array).cloned();
                let found = found.unwrap_or_default();
                if found.is_empty() {
                    break;
                }
                rows.extend(found);
            },
            None => {
                let (mut users, _store) = open(config)?;
                let mut progress = Progress::new("users", "users");
                let problems =
                    users.configure(config, &mut |done, total| progress.step(done, total));
                for problem in &problems {
                    eprint!("{problem}");
                }
                rows.extend(users.iter().map(|entry| {
                    let source = match entry.source {
                        Source::Store => "store",
                        Source::Configuration => "configuration",
                    };
                    json!({
                        "user": entry.user.name(), "realm": entry.user.realm(), "source": source,
                    })
                }));
            }
        }
        let field = |row: &Value, name: &str| {
            row.get(name).and_then(Value::as_str).unwrap_or("").to_owned()
        };
        let width = rows.iter().map(|r| field(r, "user").chars().count()).max().unwrap_or(0);
        let lines: Vec<String> = rows
            .iter()
            .map(|r| {
                format!(
                    "{:width$}  {}  ({})",
                    field(r, "user"),
                    field(r, "realm"),
                    field(r, "source")
                )
            })
            .collect();
        Ok((Value::Array(rows), lines.join("\n")))
    }
}

/// Opens the store and reads the users in it.
fn open(config: &Config) -> Result<(Users, towel_store::Store)> {
    let mut progress = Progress::new("store", "bytes");
    let step = &mut |done, total| progress.step(done, total);
    let opened = towel_server::persist::open(config, &mut |_| {}, step)
        .with_context(|| format!("the store in {}", config.data.display()))?;
    let mut users = Users::default();
    for record in &opened.users {
        users.load(record);
    }
    Ok((users, opened.store))
}

fn put(store: &towel_store::Store, record: towel_core::io::Record) -> Result<()> {
    store.put(vec![towel_server::persist::to_store(record)]).context("the store")
}
