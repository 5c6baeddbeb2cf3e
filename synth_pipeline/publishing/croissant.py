"""`croissant.json`: Croissant 1.1 with the RAI fields and PROV, a pure function of the manifest."""

from __future__ import annotations

import json
from typing import Any

from synth_pipeline.publishing import prose
from synth_pipeline.publishing.manifest import FieldNote, FileNote, Manifest

_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "prov": "http://www.w3.org/ns/prov#",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "name": {"@container": "@language"},
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
_PARQUET = "application/x-parquet"


def croissant(manifest: Manifest) -> bytes:
    """The JSON-LD text."""
    derived, made = prose.derived_from(manifest), prose.generated_by(manifest)
    note: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"],
        "name": manifest.dataset,
        "description": manifest.description or prose.summary(manifest),
        "version": f"{int(manifest.version[1:])}.0.0",
        "datePublished": manifest.created_at[:10],
        "license": manifest.licence or "unknown",
        "url": ".",
        "isLiveDataset": False,
        "keywords": ["synthetic", manifest.modality],
        "digitalSourceType": manifest.digital_source_type,
        "citeAs": manifest.source.citation or f"{manifest.dataset}, synthetic data, version {manifest.version}",
        "rai:hasSyntheticData": True,
        "rai:dataLimitations": prose.limitations(manifest),
        "rai:dataBiases": prose.biases(manifest),
        "rai:personalSensitiveInformation": prose.personal(manifest),
        "rai:dataUseCases": prose.uses(manifest),
        "rai:dataSocialImpact": prose.impact(manifest),
        "prov:wasDerivedFrom": {
            "@type": "prov:Entity",
            "@id": f"urn:sha256:{manifest.source.content_id or 'none'}",
            "prov:label": derived,
        },
        "prov:wasGeneratedBy": {
            "@type": "prov:Activity",
            "prov:label": made,
            "prov:endedAtTime": manifest.created_at,
            "prov:wasAssociatedWith": {
                "@type": "prov:SoftwareAgent",
                "prov:label": f"synth-pipeline {manifest.code.get('synth-pipeline', '')}".strip(),
            },
        },
        "distribution": [],
        "recordSet": [],
    }
    for table in manifest.tables:
        files = manifest.data_files(table.name)
        rows = f"{table.name}-rows"
        note["distribution"] += [_file(file) for file in files]
        source = {"fileObject": {"@id": files[0].path}}
        if len(files) > 1:
            folder = files[0].path.rsplit("/", 1)[0]
            note["distribution"].append(
                {
                    "@type": "cr:FileSet",
                    "@id": f"{table.name}-files",
                    "name": f"{table.name}-files",
                    "encodingFormat": _PARQUET,
                    "includes": f"{folder}/*.parquet",
                }
            )
            source = {"fileSet": {"@id": f"{table.name}-files"}}
        note["recordSet"].append(
            {
                "@type": "cr:RecordSet",
                "@id": rows,
                "name": rows,
                "field": [_field(rows, index, field, source) for index, field in enumerate(table.fields)],
            }
        )
    return json.dumps(note, indent=1, ensure_ascii=False).encode() + b"\n"


def _file(file: FileNote) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": file.path,
        "name": file.path.rsplit("/", 1)[-1],
        "contentUrl": file.path,
        "contentSize": f"{file.bytes} B",
        "encodingFormat": _PARQUET,
        "sha256": file.sha256,
    }


def _field(rows: str, index: int, field: FieldNote, source: dict[str, Any]) -> dict[str, Any]:
    # ids by position: a column may be called anything, an @id may not
    return {
        "@type": "cr:Field",
        "@id": f"{rows}/{index}",
        "name": field.name,
        **({"description": field.description} if field.description else {}),
        "dataType": _data_type(field),
        "source": {**source, "extract": {"column": field.name}},
    }


def _data_type(field: FieldNote) -> str:
    kind = field.type
    if kind == "bool":
        return "sc:Boolean"
    if kind.startswith(("int", "uint")):
        return "sc:Integer"
    if kind in ("double", "float", "halffloat") or kind.startswith("decimal"):
        return "sc:Float"
    if kind.startswith("date"):
        return "sc:Date"
    if kind.startswith("timestamp"):
        return "sc:DateTime"
    return {"image": "sc:ImageObject", "audio": "sc:AudioObject", "video": "sc:VideoObject"}.get(
        field.meaning, "sc:Text"
    )
