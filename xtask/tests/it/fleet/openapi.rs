//! The OpenAPI document, walked: what it says is what the server does.

use serde_json::{Map, Value, json};
use xtask::agent::{until, vm_id};
use xtask::fleet::request;

use super::rounds::Fleet;

/// A server with something of everything in the tenant `default`.
struct Seeded {
    fleet: Fleet,
    document: Value,
    /// What a value of a path is, by its name.
    values: Vec<(&'static str, String)>,
}

/// One operation of the document.
struct Operation<'d> {
    method: String,
    /// With its values filled in.
    path: String,
    template: &'d str,
    about: &'d Value,
}

impl Seeded {
    fn new() -> Self {
        let fleet = Fleet::start("[providers]\nsimulated = true\n");
        let control = &fleet.control;
        let vm = vm_id(1);
        let create = json!({"action_id": "seed", "action_type": "MicroVMCreate", "params": {"vm_id": vm,
            "vm_name": "seed", "vcpus": 1, "memory_bytes": 16 << 20, "kernel": fleet.host.kernel(),
            "provider": "simulated"}});
        let path = format!("/v1/agents/{}/actions", fleet.agent_id);
        assert_eq!(control.rest("POST", &path, Some(&create)).unwrap().unwrap().0, 202);
        until("the seeded action", || {
            let action = control.get("/v1/actions/seed").ok()?;
            (action["status"] == "success" && control.get(&format!("/v1/vms/{vm}")).is_ok()).then_some(())
        })
        .unwrap();
        let made = |path: &str, body: Value| control.rest("POST", path, Some(&body)).unwrap().unwrap().1;
        let action = control.get("/v1/actions/seed").unwrap();
        let trace_id = action["trace_id"].as_str().unwrap().to_owned();
        let token = made("/v1/enrollment-tokens", json!({}))["token_id"].as_str().unwrap().to_owned();
        let key = made("/v1/keys", json!({"role": "viewer"}))["key_id"].as_str().unwrap().to_owned();
        made("/v1/sites", json!({"site_id": "lab"}));
        let (status, text) = request(control.http_addr(), "GET", "/openapi.json", None, None).unwrap();
        assert_eq!(status, 200, "the document needs no key");
        let document = serde_json::from_str(&text).unwrap();
        let values = vec![
            ("agent_id", fleet.agent_id.clone()),
            ("action_id", "seed".to_owned()),
            ("vm_id", vm),
            ("trace_id", trace_id),
            ("token_id", token),
            ("key_id", key),
            ("site_id", "lab".to_owned()),
        ];
        Self { fleet, document, values }
    }

    fn operations(&self) -> Vec<Operation<'_>> {
        let paths = self.document["paths"].as_object().unwrap();
        let all = paths.iter().flat_map(|(template, methods)| {
            let filled = self
                .values
                .iter()
                .fold(template.clone(), |path, (name, value)| path.replace(&format!("{{{name}}}"), value));
            assert!(!filled.contains('{'), "{template} has a value that nobody filled in");
            methods.as_object().unwrap().iter().map(move |(method, about)| Operation {
                method: method.to_uppercase(),
                path: filled.clone(),
                template,
                about,
            })
        });
        let all: Vec<Operation<'_>> = all.collect();
        assert!(all.len() >= 20, "the document has {} operations", all.len());
        all
    }

    fn key(&self, tenant: &str, role: &str) -> String {
        let create = ["key", "create", "--role", role, "--tenant", tenant, "--output", "json"];
        let output = self.fleet.control.command(&create).output().unwrap();
        let created: Value = serde_json::from_slice(&output.stdout).unwrap();
        created["key"].as_str().unwrap().to_owned()
    }

    fn ask(&self, method: &str, path: &str, key: Option<&str>, body: Option<&Value>) -> (u16, Value) {
        let (status, text) = request(self.fleet.control.http_addr(), method, path, key, body).unwrap();
        let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
        if status >= 400 {
            self.valid(&reference("Problem"), &value, &format!("{method} {path} {status}"));
        }
        (status, value)
    }

    /// What the tenant `default` has, without what changes by itself.
    fn books(&self) -> Vec<Value> {
        let lists =
            ["/v1/agents", "/v1/vms", "/v1/actions", "/v1/enrollment-tokens", "/v1/keys", "/v1/sites"];
        let items = lists.into_iter().flat_map(|path| self.fleet.control.list(path).unwrap());
        items
            .map(|mut item| {
                if let Some(item) = item.as_object_mut() {
                    item.retain(|name, _| {
                        !["last_seen", "clock_skew_ms", "health", "audit_head"].contains(&name.as_str())
                    });
                }
                item
            })
            .collect()
    }

    fn resolved<'s>(&'s self, schema: &'s Value) -> &'s Value {
        match schema["$ref"].as_str() {
            Some(name) => self.document.pointer(name.trim_start_matches('#')).unwrap(),
            None => schema,
        }
    }

    /// A body that an operation takes.
    fn example(&self, schema: &Value) -> Value {
        let schema = self.resolved(schema);
        if let Some(words) = schema["enum"].as_array() {
            return words[0].clone();
        }
        match (schema["type"].as_str(), schema["format"].as_str(), schema["pattern"].as_str()) {
            (Some("object"), ..) => {
                let members = schema["properties"].as_object().cloned().unwrap_or_default();
                members
                    .iter()
                    .map(|(name, member)| (name.clone(), self.example(member)))
                    .collect::<Map<_, _>>()
                    .into()
            }
            (Some("array"), ..) => json!([self.example(&schema["items"])]),
            (Some("integer"), ..) => schema["minimum"].as_i64().unwrap_or(1).max(1).into(),
            (Some("boolean"), ..) => true.into(),
            (Some("string"), Some("uuid"), _) => vm_id(9).into(),
            (Some("string"), _, Some("^/")) => "/path".into(),
            (Some("string"), ..) => "name".into(),
            _ => match (schema["anyOf"].as_array(), schema["oneOf"].as_array()) {
                (Some(any), _) | (None, Some(any)) => self.example(&any[0]),
                (None, None) => panic!("no example of {schema}"),
            },
        }
    }

    /// A body with which an operation succeeds.
    fn right(&self, template: &str, schema: &Value) -> Value {
        match template {
            "/v1/agents/{agent_id}/actions" => {
                json!({"action_type": "MicroVMPause", "params": {"vm_id": vm_id(1)}})
            }
            "/v1/unenroll" => json!({"agent_id": self.fleet.agent_id}),
            _ => self.example(schema),
        }
    }

    /// What is not of a schema's type, by the path of the member.
    fn wrong(&self, schema: &Value, path: &str, found: &mut Vec<(String, Value)>) {
        let schema = self.resolved(schema);
        if let Some(any) = schema["anyOf"].as_array() {
            return self.wrong(&any[0], path, found);
        }
        let wrong = match schema["type"].as_str() {
            Some("object") => vec![json!("x"), json!(1), json!([]), json!(true)],
            Some("array") => vec![json!("x"), json!(1), json!({}), json!(true)],
            Some("integer") => vec![json!("x"), json!(1.5), json!(-1), json!([]), json!({}), json!(true)],
            Some("boolean") => vec![json!("x"), json!(1), json!([]), json!({})],
            _ => vec![json!(1), json!([]), json!({}), json!(true)],
        };
        if !path.is_empty() {
            found.extend(wrong.into_iter().map(|value| (path.to_owned(), value)));
        }
        let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        for (name, member) in schema["properties"].as_object().into_iter().flatten() {
            if !(path.is_empty() && name == "params") {
                self.wrong(member, &below(name), found);
            }
        }
        if let Some(item) = schema.get("items") {
            self.wrong(item, &format!("{path}[0]"), found);
        }
    }

    /// Fails when a value is not of its schema.
    fn valid(&self, schema: &Value, value: &Value, at: &str) {
        let schema = self.resolved(schema);
        if let Some(any) = schema["anyOf"].as_array() {
            if !value.is_null() {
                self.valid(&any[0], value, at);
            }
            return;
        }
        let right = match schema["type"].as_str() {
            Some("object") => value.is_object(),
            Some("array") => value.is_array(),
            Some("integer") => value.is_i64() || value.is_u64(),
            Some("number") => value.is_number(),
            Some("boolean") => value.is_boolean(),
            Some("string") => value.is_string(),
            _ => true,
        };
        assert!(right, "{at}: {value} is not {schema}");
        if let Some(words) = schema["enum"].as_array() {
            assert!(words.contains(value), "{at}: {value} is none of {words:?}");
        }
        if let (Some(members), Some(known)) = (value.as_object(), schema["properties"].as_object()) {
            for name in schema["required"].as_array().into_iter().flatten() {
                assert!(members.contains_key(name.as_str().unwrap()), "{at}: {name} is absent from {value}");
            }
            for (name, member) in members {
                let member_schema =
                    known.get(name).unwrap_or_else(|| panic!("{at}: {name} is not described"));
                self.valid(member_schema, member, &format!("{at}.{name}"));
            }
        }
        for item in value.as_array().into_iter().flatten() {
            self.valid(&schema["items"], item, at);
        }
    }
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// Puts a value at a path like `params.disks[0].path`.
fn put(body: &mut Value, path: &str, value: Value) {
    let pointer: String =
        path.replace('[', ".").replace(']', "").split('.').map(|part| format!("/{part}")).collect();
    *body.pointer_mut(&pointer).unwrap_or_else(|| panic!("{path}")) = value;
}

#[test]
fn nobody_gets_in_without_a_key_or_does_more_than_its_role_or_leaves_its_tenant() {
    let seeded = Seeded::new();
    let viewer = seeded.key("default", "viewer");
    let foreign = seeded.key("other", "admin");
    let before = seeded.books();
    for operation in seeded.operations() {
        let Operation { method, path, template, about } = &operation;
        let schema = &about["requestBody"]["content"]["application/json"]["schema"];
        let body = schema.is_object().then(|| seeded.right(template, schema));
        let told = format!("{method} {template}");
        let (status, _) = seeded.ask(method, path, None, body.as_ref());
        assert_eq!(status, 401, "{told} without a key");
        if method != "GET" {
            let (status, _) = seeded.ask(method, path, Some(&viewer), body.as_ref());
            assert_eq!(status, 403, "{told} with a viewer's key");
        }
        // An event stream of another tenant's action would not end; it is not there either.
        let (status, answer) = seeded.ask(method, path, Some(&foreign), body.as_ref());
        if template.contains('{') || *template == "/v1/unenroll" {
            assert!(matches!(status, 404 | 409), "{told} with another tenant's key: {status} {answer}");
        } else if method == "GET" && answer["items"].is_array() {
            let text = answer.to_string();
            let seen = seeded.values.iter().find(|(_, value)| text.contains(value.as_str()));
            assert!(seen.is_none(), "{told} shows another tenant's {seen:?}: {text}");
        }
    }
    assert_eq!(seeded.books(), before, "nothing has changed");
}

#[test]
fn every_wrong_type_is_refused_with_the_path_of_its_field() {
    let seeded = Seeded::new();
    let admin = seeded.fleet.control.key().unwrap();
    let before = seeded.books();
    let mut tried = 0;
    for operation in seeded.operations() {
        let schema = &operation.about["requestBody"]["content"]["application/json"]["schema"];
        if !schema.is_object() || operation.template == "/v1/renew" {
            continue;
        }
        let variants = seeded.resolved(schema)["properties"]["params"]["oneOf"].as_array().cloned();
        let types = ["MicroVMCreate", "MicroVMPause", "MicroVMStop", "MicroVMDelete"];
        let variants: Vec<(Value, Vec<(String, Value)>)> = match variants {
            None => vec![(seeded.example(schema), Vec::new())],
            Some(variants) => std::iter::zip(types, variants)
                .map(|(action_type, params)| {
                    let mut example = seeded.example(schema);
                    example["action_type"] = action_type.into();
                    example["params"] = seeded.example(&params);
                    let mut wrong = Vec::new();
                    seeded.wrong(&params, "params", &mut wrong);
                    (example, wrong)
                })
                .collect(),
        };
        for (example, mut wrong) in variants {
            seeded.wrong(schema, "", &mut wrong);
            for (path, value) in wrong {
                let mut body = example.clone();
                put(&mut body, &path, value.clone());
                let (status, answer) =
                    seeded.ask(&operation.method, &operation.path, Some(&admin), Some(&body));
                let told = format!("{} {path} = {value}: {status} {answer}", operation.template);
                assert_eq!(status, 422, "{told}");
                let named =
                    answer["errors"].as_array().unwrap().iter().any(|error| error["path"] == path.as_str());
                assert!(named, "{told}");
                tried += 1;
            }
        }
        // An unknown member, and what is no object at all.
        let mut body = seeded.example(schema);
        body["unheard_of"] = json!(1);
        let (status, answer) = seeded.ask(&operation.method, &operation.path, Some(&admin), Some(&body));
        assert_eq!((status, answer["errors"].to_string().contains("unheard_of")), (422, true), "{answer}");
        for body in [json!([]), json!("x"), json!(1), Value::Null] {
            let (status, _) = seeded.ask(&operation.method, &operation.path, Some(&admin), Some(&body));
            assert_eq!(status, 422, "{} with {body}", operation.template);
        }
    }
    assert!(tried > 150, "only {tried} were tried");
    // Every parameter of a query, with nonsense.
    for operation in seeded.operations().iter().filter(|operation| operation.method == "GET") {
        for parameter in operation.about["parameters"].as_array().unwrap() {
            let (name, place) = (parameter["name"].as_str().unwrap(), parameter["in"].as_str().unwrap());
            // Any text can be looked for.
            if place != "query" || name == "q" {
                continue;
            }
            let path = format!("{}?{name}=~~", operation.path);
            let (status, answer) = seeded.ask("GET", &path, Some(&admin), None);
            assert_eq!((status, &answer["errors"][0]["path"]), (422, &json!(name)), "{path}: {answer}");
        }
        let (status, answer) =
            seeded.ask("GET", &format!("{}?unheard_of=1", operation.path), Some(&admin), None);
        assert_eq!((status, &answer["errors"][0]["path"]), (422, &json!("unheard_of")), "{}", operation.path);
    }
    assert_eq!(seeded.books(), before, "nothing has changed");
}

#[test]
fn every_answer_is_as_the_document_describes_it() {
    let seeded = Seeded::new();
    let admin = seeded.fleet.control.key().unwrap();
    let mut operations = seeded.operations();
    // What is shown is looked at before it is deleted.
    operations.sort_by_key(|operation| {
        ["GET", "POST", "DELETE"].iter().position(|method| operation.method == *method)
    });
    for operation in &operations {
        if ["/v1/renew", "/v1/unenroll"].contains(&operation.template) {
            continue;
        }
        let schema = &operation.about["requestBody"]["content"]["application/json"]["schema"];
        let body = schema.is_object().then(|| seeded.right(operation.template, schema));
        let (status, answer) = seeded.ask(&operation.method, &operation.path, Some(&admin), body.as_ref());
        let told = format!("{} {}", operation.method, operation.template);
        if operation.template.ends_with("/cancel") {
            assert_eq!(status, 409, "the seeded action has ended");
            continue;
        }
        let described = operation.about["responses"].as_object().unwrap();
        let (expected, success) = described.iter().find(|(status, _)| status.starts_with('2')).unwrap();
        assert_eq!(status.to_string(), *expected, "{told}: {answer}");
        let content = &success["content"]["application/json"]["schema"];
        if content.is_object() {
            seeded.valid(content, &answer, &told);
        }
    }
}
